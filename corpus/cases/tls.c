//# what: thread-local data, which a kernel module cannot have, is refused when a changed function brings it
//# flags: -ftls-model=local-exec
//# exit: 2
//# says: thread-local data: ticket
//# says[powerpc64-clang]: doesn't have patchable function entry
#include "kernel.h"

static __thread u32 ticket = 3;

u32 next_ticket(u32 queue)
{
#ifdef PATCHED
	write_register(queue, ticket);
#endif
	return ticket++;
}
