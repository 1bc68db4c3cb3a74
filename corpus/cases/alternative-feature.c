//# what: code is equal, but another processor feature decides whether it is replaced
//# changed: clear_line
//# machines: x86_64
#include "kernel.h"

#ifdef PATCHED
#define CLEAR ALTERNATIVE("nop; nop; nop", "lfence", 0x128)
#else
#define CLEAR ALTERNATIVE("nop; nop; nop", "lfence", 0x64)
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
	ALTERNATIVE("nop; nop; nop", "lfence", 0x64);
	wait_for(1);
}
