//# what: the static locals hold addresses of other variables, in sections with relocations
//# changed: rotate_buffer
//# changed[s390x-gcc]: rotate_buffer peek_buffer
#include "kernel.h"

static u32 primary[4];
static u32 secondary[4];

u32 *rotate_buffer(u32 turn)
{
	static u32 *current = primary;
	static u32 *other = secondary;
	u32 *old = current;

#ifdef PATCHED
	if (!turn)
		return old;
#endif
	current = other;
	other = old;
	write_register(turn, old[0]);
	return current;
}

u32 peek_buffer(u32 turn)
{
	static u32 *last = primary;

	last = turn & 1 ? primary : secondary;
	write_register(turn, last[1]);
	return last[turn & 3];
}
