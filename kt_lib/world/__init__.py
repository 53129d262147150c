"""The embedded world: tools, intents, phrasings and made-up names; tasks, chats and the base's data come from it."""
