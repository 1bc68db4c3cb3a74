//# what: a changed function uses a constant table of strings, one of which differs
//# changed: state_name
//# exit[s390x-gcc]: 2
//# changed[s390x-gcc]:
#include "kernel.h"

static const char *const state_names[] = {
	"idle",
	"running",
#ifdef PATCHED
	"stopped by user",
#else
	"stopped",
#endif
	"dead",
};

const char *state_name(u32 state)
{
#ifdef PATCHED
	if (state > 3)
		return "unknown";
#endif
	return state_names[state];
}

u32 next_state(u32 state)
{
	return state < 3 ? state + 1 : 0;
}
