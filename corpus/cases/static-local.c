//# what: the changed function keeps a count in a static local, whose value must be kept
//# changed: log_request
#include "kernel.h"

int log_request(u32 kind)
{
	static u32 count;

	count++;
#ifdef PATCHED
	if (kind > 9)
		return -1;
#endif
	write_register(kind, count);
	return count;
}

int log_reply(u32 kind)
{
	write_register(kind, 0);
	return read_register(kind);
}
