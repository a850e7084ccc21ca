// Loaded before User-Mode Linux (LD_PRELOAD): lets it run on processors with AMX.
//
// User-Mode Linux 6.1 restores a process' extended registers with PTRACE_SETREGSET from an area of
// 2,696 bytes. The host takes nothing shorter than all that the processor has (xstateregs_set in
// arch/x86/kernel/fpu/regset.c: EFAULT), which is more with AMX, and the machine panics at its
// first process. Here the rest is filled in with what the process has: the area's own header says
// which registers are saved in it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

static char area[1 << 16];

long ptrace(enum __ptrace_request request, ...)
{
	static long (*next)(enum __ptrace_request, ...);
	va_list arguments;

	va_start(arguments, request);
	pid_t pid = va_arg(arguments, pid_t);
	void *address = va_arg(arguments, void *);
	void *data = va_arg(arguments, void *);
	va_end(arguments);
	if (!next)
		next = dlsym(RTLD_NEXT, "ptrace");
	if (request == PTRACE_SETREGSET && (size_t)address == NT_X86_XSTATE) {
		struct iovec *given = data;
		struct iovec whole = { area, sizeof(area) };

		if (next(PTRACE_GETREGSET, pid, address, &whole) == 0 &&
		    given->iov_len < whole.iov_len) {
			memcpy(area, given->iov_base, given->iov_len);
			return next(request, pid, address, &whole);
		}
	}
	return next(request, pid, address, data);
}
