//# what: a weak function changes
//# changed: platform_name
#include "kernel.h"

__attribute__((weak)) const char *platform_name(u32 board)
{
#ifdef PATCHED
	if (board > 2)
		return "unknown board";
#endif
	write_register(0, board);
	return "generic board";
}

__attribute__((weak)) u32 platform_speed(u32 board)
{
	return read_register(board);
}

void announce_platform(u32 board)
{
	_printk("%s at %u\n", platform_name(board), platform_speed(board));
}
