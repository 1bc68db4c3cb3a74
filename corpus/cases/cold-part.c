//# what: only the part that gcc moves out of the hot path differs; its parent is what changed
//# changed: parse_header
//# only: gcc
//# needs-symbol: parse_header.cold
#include "kernel.h"

cold void complain(const char *text, u32 value);

int parse_header(const u32 *header, u32 length)
{
	if (length < 4) {
#ifdef PATCHED
		complain("header has too few words", length);
#else
		complain("header is short", length);
#endif
		complain("giving up", header[0]);
		return -1;
	}
	write_register(header[0], header[1]);
	write_register(header[2], header[3]);
	return 0;
}

int parse_trailer(const u32 *trailer, u32 length)
{
	if (length < 2) {
		complain("trailer is short", length);
		return -1;
	}
	write_register(trailer[0], trailer[1]);
	return 0;
}
