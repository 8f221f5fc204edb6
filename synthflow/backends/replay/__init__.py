"""`replay`: answers from what another run recorded. It samples nothing."""
