"""What `use:` names: the folder is the first word of the name (`label.tree` stands in `label/`).

Folders do not import each other; what two of them share stands in `rollouts`, `judges`, `statistics` or `io`.
"""
