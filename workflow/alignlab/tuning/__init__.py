"""LoRA fine-tuning of a causal language model on questions and their answers, with TRL and PEFT."""
