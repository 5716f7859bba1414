#include "model/event.h"

FIELD_TABLE(event_table, event, "Something that happened.",
	FIELD(INT, event, id, .flags = FIELD_OMIT_EMPTY, .doc = "Rises with each event."),
	FIELD(TIME, event, at, .doc = "When."),
	FIELD(STRING, event, kind, .doc = "Kind of the resource."),
	FIELD(STRING, event, uid, .flags = FIELD_OMIT_EMPTY, .doc = "Its uid."),
	FIELD(STRING, event, name, .doc = "Its name."),
	FIELD(STRING, event, type, .doc = "What happened, in one word."),
	FIELD(STRING, event, text, .flags = FIELD_OMIT_EMPTY, .doc = "In words."),
	FIELD(BOOL, event, is_warning, .flags = FIELD_OMIT_EMPTY, .doc = "Somebody may want to look."),
);
