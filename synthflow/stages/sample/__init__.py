"""`sample`, `sample.*`: what asks a policy for rollouts. Every one writes rows of `rollouts`."""
