"""How monitors reach people: mail, Slack, webhooks."""
