//# what: the last of a chain of constants changes, and all of them are in one section
//# changed: start
//# flags: -fno-data-sections
#include "kernel.h"

struct stage {
	const struct stage *next;
	u32 wait;
};

#ifdef PATCHED
static const struct stage last = { 0, 4 };
#else
static const struct stage last = { 0, 3 };
#endif
static const struct stage middle = { &last, 2 };
static const struct stage first = { &middle, 1 };

void start(u32 which)
{
	const struct stage *stage;

	for (stage = &first; stage; stage = stage->next)
		wait_for(stage->wait + which);
}

void stop(u32 which)
{
	wait_for(which);
}
