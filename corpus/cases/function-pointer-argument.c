//# what: an unchanged function hands the address of a changed one to somebody else
//# changed: on_expiry
#include "kernel.h"

void call_later(void (*function)(u32), u32 argument);

static void on_expiry(u32 timer)
{
#ifdef PATCHED
	if (!timer)
		return;
#endif
	write_register(timer, 0);
}

void arm(u32 timer)
{
	call_later(on_expiry, timer);
	wait_for(timer);
}
