//# what: only a number loaded into an argument register differs, before a callee that takes no line
//# changed: start_timer
#include "kernel.h"

#ifdef PATCHED
#define TIMEOUT 250
#else
#define TIMEOUT 200
#endif

void start_timer(u32 channel)
{
	write_register(channel, TIMEOUT);
	wait_for(channel);
}

void stop_timer(u32 channel)
{
	write_register(channel, 0);
	wait_for(channel);
}
