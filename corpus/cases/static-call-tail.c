//# what: code is equal, but the .static_call_sites row now says that the call is the function's last
//# changed: run_work
//# machines: x86_64
#include "kernel.h"

#ifdef PATCHED
#define CALL STATIC_CALL(__SCT__dispatch, __SCK__dispatch + 1)
#else
#define CALL STATIC_CALL(__SCT__dispatch, __SCK__dispatch)
#endif

int run_work(u32 work)
{
	write_register(0, work);
	CALL;
	return 0;
}

int skip_work(u32 work)
{
	write_register(1, work);
	STATIC_CALL(__SCT__dispatch, __SCK__dispatch);
	return 0;
}
