# Placeholder while the tree is young; the real targets follow.
PY ?= .venv/bin/python

.typecheck: ## A link tree in which the type checker sees the folders under their import names
	rm -rf .typecheck && mkdir -p .typecheck/synthflow
	for x in synthflow/*; do ln -sfn ../../$$x .typecheck/$$x; done
	for d in filters pipelines stores verifiers; do ln -sfn ../../$$d .typecheck/synthflow/$$d; done

typecheck: .typecheck ## Type-check the package, strictly
	.venv/bin/mypy .typecheck/synthflow
.PHONY: .typecheck typecheck
