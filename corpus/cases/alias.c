//# what: a changed function has a second name, which follows it without a patch of its own
//# changed: save_context
#include "kernel.h"

noinline int save_context(u32 task)
{
#ifdef PATCHED
	wait_for(task);
#endif
	write_register(task, 1);
	return 0;
}

extern __attribute__((alias("save_context"))) int save_context_legacy(u32 task);

int load_context(u32 task)
{
	write_register(task, 2);
	return save_context_legacy(task) + 1;
}
