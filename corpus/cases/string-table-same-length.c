//# what: a string of a constant table differs in its first letters only: its reader differs
//# changed: state_name
//# machines: x86_64 aarch64 s390x
#include "kernel.h"

static const char *const state_names[] = {
	"idle",
	"running",
#ifdef PATCHED
	"shipped",
#else
	"stopped",
#endif
	"dead",
};

const char *state_name(u32 state)
{
	return state < 4 ? state_names[state] : "?";
}
