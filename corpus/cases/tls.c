//# what: thread-local data, which a kernel module cannot have, is refused when a changed function brings it
//# machines: x86_64
//# changed: next_ticket
//# flags: -ftls-model=local-exec
#include "kernel.h"

static __thread u32 ticket = 3;

u32 next_ticket(u32 queue)
{
#ifdef PATCHED
	write_register(queue, ticket);
#endif
	return ticket++;
}
