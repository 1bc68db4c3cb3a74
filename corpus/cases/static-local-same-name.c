//# what: static locals of three functions share one name and only one function changes
//# changed: visit_middle
#include "kernel.h"

u32 visit_first(u32 node)
{
	static u32 visits;

	write_register(node, ++visits);
	return visits;
}

u32 visit_middle(u32 node)
{
	static u32 visits;

#ifdef PATCHED
	if (!node)
		return 0;
#endif
	write_register(node + 1, ++visits);
	return visits;
}

u32 visit_last(u32 node)
{
	static u32 visits;

	write_register(node + 2, ++visits);
	return visits;
}
