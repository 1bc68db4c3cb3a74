//# what: code is equal, but one byte less of it is replaced
//# changed: clear_line
//# machines: x86_64
#include "kernel.h"

#ifdef PATCHED
#define CLEAR ALTERNATIVE("nop; nop; nop", "lfence", 0x64); asm volatile("nop")
#else
#define CLEAR ALTERNATIVE("nop; nop; nop; nop", "lfence", 0x64)
#endif

void clear_line(u32 *line)
{
	*line = 0;
	CLEAR;
	wait_for(0);
}

void mark_line(u32 *line)
{
	*line = 1;
	ALTERNATIVE("nop; nop; nop; nop", "lfence", 0x64);
	wait_for(1);
}
