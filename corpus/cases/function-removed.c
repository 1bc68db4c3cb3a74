//# what: a static function is gone because its only caller does without it
//# changed: settle
#include "kernel.h"

#ifndef PATCHED
static noinline u32 damp(u32 value)
{
	wait_for(value);
	return value - read_register(value) / 4;
}
#endif

u32 settle(u32 value)
{
#ifdef PATCHED
	return value + 1;
#else
	return damp(value) + 1;
#endif
}

u32 disturb(u32 value)
{
	return value + read_register(1);
}
