//# what: the changed function shares static variables with an unchanged one
//# changed: take_ticket
#include "kernel.h"

static u32 next_ticket = 1;
static u32 now_serving;

u32 take_ticket(void)
{
	u32 ticket = next_ticket++;

#ifdef PATCHED
	if (!next_ticket)
		next_ticket = 1;
#endif
	write_register(ticket, now_serving);
	return ticket;
}

void serve_ticket(void)
{
	if (now_serving < next_ticket)
		now_serving++;
}
