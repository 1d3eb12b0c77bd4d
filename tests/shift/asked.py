"""Questions of the tests, and how long their answers are."""

ZERO_SHOT = {"kind": "zero-shot"}
QUESTIONS = ["Why is the sky blue?", "Name three colours.", "Who wrote Hamlet, and when was it?"]
LENGTHS = (1, 17, 40)
