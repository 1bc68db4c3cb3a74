//# what: a static function becomes global, without any other change
//# exit: 2
#include "kernel.h"

#ifndef PATCHED
static
#endif
noinline keep u32 mask_of(u32 line)
{
	return read_register(line) & 0xff;
}

u32 line_state(u32 line)
{
	wait_for(line);
	return mask_of(line) + mask_of(line + 1);
}
