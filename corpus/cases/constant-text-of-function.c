//# what: a constant text inside a function gets longer, and another one goes away
//# changed: check_range
#include "kernel.h"

struct answer {
	const char *text;
};

#define TELL(answer, words)			\
	do {					\
		static const char text_[] = words;	\
		(answer)->text = text_;		\
	} while (0)

int check_range(u32 value, struct answer *answer)
{
	if (value > 900) {
#ifdef PATCHED
		TELL(answer, "far too large a value");
#else
		TELL(answer, "too large a value");
#endif
		return -1;
	}
#ifndef PATCHED
	if (value < read_register(9)) {
		TELL(answer, "too small a value");
		return -1;
	}
#endif
	if (!read_register(value)) {
		TELL(answer, "no such register");
		return -1;
	}
	return 0;
}

int check_other(u32 value, struct answer *answer)
{
	if (read_register(value) == 3) {
		TELL(answer, "another text");
		return -1;
	}
	return 0;
}
