"""The embedded world: tools, intents, phrasings and made-up names from which tasks, chats and the base model's data come."""
