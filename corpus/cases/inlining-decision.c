//# what: a helper that was inlined into its caller is now a function of its own
//# changed: transmit
//# new: prepare
#include "kernel.h"

#ifdef PATCHED
noinline
#else
always_inline
#endif
static void prepare(u32 port, u32 length)
{
	write_register(port, length);
	wait_for(port);
}

void transmit(u32 port, u32 length)
{
	prepare(port, length);
	write_register(port + 1, 1);
}
