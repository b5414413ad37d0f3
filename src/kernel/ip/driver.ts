/**
 * Reads links, addresses, routes, rules and neighbours through `ip`, and changes them by one batch.
 */
import { SdkError } from '../../net/errors.ts';
import { classifyFailure } from '../failing-line.ts';
import type { CallOptions, DriverOptions } from '../ipset/driver.ts';
import type { ApplyFailure } from '../types.ts';
import { createBatchReader, frameBatch, splitFamilies } from './batch.ts';
import type { IpAddress, IpLink, IpNeighbour, IpRoute, IpRule } from './model.ts';
import { parseIpAddresses, parseIpLinks, parseIpNeighbours, parseIpRoutes, parseIpRules } from './parse.ts';

/** Reads and changes what `ip` knows. */
export interface IpDriver {
  /** Network interfaces with their kind and settings (`ip -j -d link`). */
  links(options?: CallOptions): Promise<IpLink[]>;
  /** Addresses of every interface, or of one. */
  addresses(options?: CallOptions & { readonly device?: string }): Promise<IpAddress[]>;
  /** Routes of one table (`main` where none is named), or of all. */
  routes(
    family: 4 | 6,
    options?: CallOptions & { readonly table?: number | 'all'; readonly protocol?: number },
  ): Promise<IpRoute[]>;
  /** Policy rules of a family, in order of priority. */
  rules(family: 4 | 6, options?: CallOptions): Promise<IpRule[]>;
  /** Neighbour entries (ARP, ND) of every interface, or of one. */
  neighbours(options?: CallOptions & { readonly device?: string }): Promise<IpNeighbour[]>;
  /** Runs lines of `ip -batch` in one process; each that is refused is one failure, named by its text, and the others go on. */
  batch(lines: readonly string[], options?: CallOptions): Promise<readonly ApplyFailure[]>;
}

/** Makes an {@link IpDriver}. */
export function createIp(options: DriverOptions): IpDriver {
  const { runner } = options;
  const place = options.netns === undefined ? {} : { netns: options.netns };
  const show = async (args: readonly string[], call: CallOptions): Promise<string> =>
    (await runner.run({ file: 'ip', args: ['-j', ...args], ...place }, call)).stdout;
  const of = (device: string | undefined): string[] => (device === undefined ? [] : ['dev', device]);

  /** Runs the lines of one process, and goes on in another behind a line that ended it. */
  async function runPart(
    family: readonly string[],
    lines: readonly string[],
    failures: ApplyFailure[],
    call: CallOptions,
  ): Promise<void> {
    let at = 0;
    while (at < lines.length) {
      const rest = lines.slice(at);
      const { stderr } = await runner.run(
        {
          file: 'ip',
          args: [...family, '-force', '-batch', '-'],
          input: frameBatch(rest),
          okExitCodes: [1, 2, 255],
          timeoutMs: 120_000,
          ...place,
        },
        call,
      );
      if (stderr.startsWith('nsenter: ')) {
        throw new SdkError(stderr.trim(), { code: 'COMMAND_FAILED', details: { file: 'ip', stderr } });
      }
      const reader = createBatchReader();
      const results = reader.push(stderr);
      const fail = (item: string, message: string): void => {
        const details = { file: 'ip', line: item, stderr: message };
        const error = new SdkError(`ip ${item}: ${message}`, { code: classifyFailure(message), details });
        failures.push({ item, error });
      };
      for (const { index, message } of results) if (message !== undefined) fail(rest[index]!, message);
      at += results.length;
      // A line that it could not read ended it: that one failed, the rest goes to a new process.
      if (results.length < rest.length) {
        fail(rest[results.length]!, reader.tail === '' ? 'ip ended' : reader.tail);
        at++;
      }
    }
  }

  return {
    links: async (call = {}) => parseIpLinks(await show(['-d', 'link', 'show'], call)),
    addresses: async ({ device, ...call } = {}) => parseIpAddresses(await show(['addr', 'show', ...of(device)], call)),
    async routes(family, { table = 254, protocol, ...call } = {}) {
      const args = [`-${family}`, 'route', 'show', 'table', String(table)];
      if (protocol !== undefined) args.push('proto', String(protocol));
      // A table that nothing was ever put into does not exist: exit 2, and no routes.
      const command = { file: 'ip', args: ['-j', '-N', ...args], okExitCodes: [2], ...place };
      const { exitCode, stdout, stderr } = await runner.run(command, call);
      if (exitCode === 2 && !stderr.includes('does not exist')) {
        throw new SdkError(`ip could not list routes: ${stderr.trim()}`, { code: classifyFailure(stderr) });
      }
      const routes = exitCode === 2 ? [] : parseIpRoutes(stdout, family);
      // What was asked for, a table or a protocol, is not printed.
      const asked = {
        ...(table === 'all' || table === 254 ? {} : { table }),
        ...(protocol === undefined ? {} : { protocol }),
      };
      return routes.map((route) => ({ ...route, ...asked }));
    },
    rules: async (family, call = {}) => parseIpRules(await show(['-N', `-${family}`, 'rule', 'show'], call), family),
    async neighbours({ device, ...call } = {}) {
      const found = parseIpNeighbours(await show(['neigh', 'show', ...of(device)], call));
      // The device that was asked for is not printed.
      return device === undefined ? found : found.map((one) => ({ ...one, device }));
    },

    async batch(lines, call = {}) {
      const failures: ApplyFailure[] = [];
      for (const [family, part] of splitFamilies(lines)) await runPart(family, part, failures, call);
      return failures;
    },
  };
}
