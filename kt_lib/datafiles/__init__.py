"""Files of training rows: TRL's and OpenAI's layouts, read and written, checked, measured, and described by a card."""
