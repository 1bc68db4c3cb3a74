//# what: the author marks a function as safe to replace although tasks may sleep in it
//# changed: serve_queue
#include "kernel.h"

void serve_queue(u32 queue)
{
#ifdef PATCHED
	_printk("serving %u\n", queue);
#endif
	while (read_register(queue))
		wait_for(queue);
}

#ifdef PATCHED
keep in_section(".kpatch.force") void *__kpatch_force_func_serve_queue = serve_queue;
#endif
