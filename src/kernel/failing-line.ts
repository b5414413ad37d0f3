/**
 * Finds in a tool's stderr which line of a batch it refused, so that an error can show that line's own text.
 * Every tool says it differently and some not at all (ipvsadm); the forms here were taken from the tools themselves.
 * Pure.
 */

const FORMS: readonly RegExp[] = [
  // ipset v7.17: Error in line 3: The set with the given name does not exist
  /Error in line (\d+)/,
  // Command failed -:2   (ip -batch -)
  /Command failed [^\s:]*:(\d+)/,
  // line 4: RULE_APPEND failed (No such file or directory)   (iptables-nft-restore)
  /(?:^|\s)line (\d+): /m,
  // iptables-restore: line 4 failed   (iptables-legacy-restore)
  /(?:^|\s)line (\d+) failed/m,
  // Error occurred at line: 4   (both)
  /Error occurred at line: (\d+)/,
  // /dev/stdin:3:1-4: Error: syntax error   (nft -f -)
  /^(?:\/dev\/stdin|-):(\d+):\d/m,
];

/** The number, counted from 1, of the batch line that the tool named; `undefined` when it named none. */
export function findFailingLine(stderr: string): number | undefined {
  for (const form of FORMS) {
    const match = form.exec(stderr);
    if (match?.[1] !== undefined) return Number(match[1]);
  }
  return undefined;
}

/** How the text of a failing tool is to be understood. */
export type FailureKind = 'PERMISSION_DENIED' | 'KERNEL_UNSUPPORTED' | 'COMMAND_FAILED';

const UNSUPPORTED: readonly RegExp[] = [
  /Protocol not available/,
  /Protocol not supported/,
  /Kernel error received: Operation not supported/,
  /Table does not exist \(do you need to insmod\?\)/,
  /RTNETLINK answers: Operation not supported/,
  /Unknown device type/,
  /Cannot open session to kernel/,
  /Module \S+ not found/,
];

/** Tells a missing privilege and a missing kernel feature apart from every other failure. */
export function classifyFailure(stderr: string): FailureKind {
  // iptables says "Table does not exist" or "Permission denied (you must be root)" behind the same first words.
  if (/Permission denied|Operation not permitted|must be root/i.test(stderr)) return 'PERMISSION_DENIED';
  return UNSUPPORTED.some((form) => form.test(stderr)) ? 'KERNEL_UNSUPPORTED' : 'COMMAND_FAILED';
}

/** Whether the failure goes away by itself: the xtables lock is held, or the kernel's netlink queue was full. */
export function isTransient(stderr: string): boolean {
  return /Another app is currently holding the xtables lock|Resource temporarily unavailable|Device or resource busy|No buffer space available/.test(
    stderr,
  );
}
