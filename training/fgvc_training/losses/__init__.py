"""The paper's training losses, one module each: `soft_label`, `reconstruction`, `adversarial`; `reduce` averages."""
