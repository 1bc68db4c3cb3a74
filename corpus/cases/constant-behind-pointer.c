//# what: a constant differs that another constant points to, and code reads only that
//# changed: step_of_mode
//# machines: x86_64 aarch64
#include "kernel.h"

static const u32 slow_steps[] = {
	4, 9,
#ifdef PATCHED
	16,
#else
	15,
#endif
};
static const u32 fast_steps[] = { 2, 3, 5 };

struct mode {
	const u32 *steps;
	u32 count;
};

static const struct mode modes[] = {
	{ slow_steps, 3 },
	{ fast_steps, 3 },
};

u32 step_of_mode(u32 mode, u32 step)
{
	return modes[mode & 1].steps[read_register(step)];
}
