"""Pictures of many people judged: likeness, what else changed, prompts. The demo is a small one."""
