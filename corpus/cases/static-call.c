//# what: a changed function has a row in .static_call_sites, and so has an unchanged one
//# changed: schedule_work
//# machines: x86_64
#include "kernel.h"

int schedule_work(u32 work)
{
#ifdef PATCHED
	if (!work)
		return -22;
#endif
	write_register(0, work);
	STATIC_CALL(__SCT__dispatch, __SCK__dispatch);
	return 0;
}

int cancel_work(u32 work)
{
	write_register(1, work);
	STATIC_CALL(__SCT__dispatch, __SCK__dispatch);
	return 0;
}
