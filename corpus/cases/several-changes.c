//# what: changes of several kinds in one file, each seen on its own
//# changed: grow_heap report_heap
//# new: round_up_pages
#include "kernel.h"

static u32 heap_pages = 3;

#ifdef PATCHED
static noinline u32 round_up_pages(u32 bytes)
{
	u32 pages = (bytes + 4095) / 4096;

	write_register(8, pages);
	return pages;
}
#endif

int grow_heap(u32 bytes)
{
	static u32 requests;

	requests++;
#ifdef PATCHED
	heap_pages += round_up_pages(bytes);
#else
	heap_pages += bytes / 4096;
#endif
	write_register(9, requests);
	return 0;
}

void report_heap(void)
{
#ifdef PATCHED
	_printk("heap has %u pages now\n", heap_pages);
#else
	_printk("heap has %u pages\n", heap_pages);
#endif
}

void shrink_heap(u32 pages)
{
	static u32 requests;

	requests++;
	heap_pages -= pages;
	write_register(10, requests);
}
