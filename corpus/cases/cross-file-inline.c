//# what: a helper of a header is inlined here and out of line there: both of its users change
//# changed: read_counter reset_counter
#include "kernel.h"

static inline u32 bounded(u32 value)
{
#ifdef PATCHED
	return value > 999 ? 999 : value;
#else
	return value;
#endif
}

u32 read_counter(u32 counter)
{
	return bounded(read_register(counter));
}

void reset_counter(u32 counter, u32 value)
{
	write_register(counter, bounded(value));
}

void stop_counter(u32 counter)
{
	write_register(counter, 0);
}
