//# what: the code bytes are equal and only the name a relocation refers to differs
//# changed: shutdown_port
#include "kernel.h"

void halt_port(u32 port);
void pause_port(u32 port);

int shutdown_port(u32 port)
{
	write_register(port, 1);
#ifdef PATCHED
	halt_port(port);
#else
	pause_port(port);
#endif
	return 0;
}

int resume_port(u32 port)
{
	write_register(port, 2);
	return 0;
}
