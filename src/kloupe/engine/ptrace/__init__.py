"""The ptrace engine: follows the user's own processes and feeds the user-space machine with what they do."""
