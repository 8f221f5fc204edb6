"""`vllm`: vLLM in this process."""
