/**
 * `status` for a person: short tables, trouble first.
 */
import type { StatusView } from '../admin/views.ts';
import { issueLine } from '../report.ts';

/** Columns padded to their widest cell. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => (row[i] ?? '').length)));
  const line = (cells: readonly string[]): string =>
    `${cells
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd()}\n`;
  return line(head) + rows.map(line).join('');
}

/** `90 s`, `12 min`, `3 h`, `2 d`. */
export function age(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** The whole page. */
export function renderStatus(view: StatusView, now: number = Date.now()): string {
  const parts = [
    `${view.node}: ${view.ready ? 'ready' : 'not ready'}, up ${age(now - view.startedAt)}, version ${view.version}\n`,
    table(
      ['BLOCK', 'READY', 'PASSES', 'LAST', 'CHANGES', 'REMAINING', 'NOTE'],
      view.blocks.map((block) => [
        block.name,
        block.ready ? 'yes' : 'no',
        String(block.passes),
        block.last === undefined ? '-' : `${age(now - block.last.at)} ago`,
        String(block.last?.changes ?? '-'),
        String(block.last?.remaining ?? '-'),
        block.trouble ?? '',
      ]),
    ),
  ];
  if (view.peers.length > 0) {
    parts.push(
      table(
        ['PEER', 'ASN', 'KIND', 'STATE', 'FOR', 'RECEIVED', 'ANNOUNCED', 'NOTE'],
        view.peers.map((peer) => [
          peer.address,
          String(peer.asn),
          peer.kind,
          peer.state,
          peer.since === undefined ? '-' : age(now - peer.since),
          String(peer.received),
          String(peer.announced),
          peer.reason ?? '',
        ]),
      ),
    );
  }
  parts.push(
    table(
      ['OBJECTS', 'COUNT', 'STATE'],
      view.sources.map((source) => [
        source.kind,
        String(source.objects),
        source.staleSince !== undefined
          ? `out of touch for ${age(now - source.staleSince)}`
          : source.synced
            ? 'in touch'
            : 'waiting for the first list',
      ]),
    ),
    `${view.routes} routes learned, ${view.advertisements.length} prefixes announced, ${view.services} virtual servers, ${view.policies} policies\n`,
  );
  if (view.vips.length > 0) {
    parts.push(
      table(
        ['VIP', 'KIND', 'ANNOUNCED', 'SERVICES', 'REASON'],
        view.vips.map((vip) => [
          vip.address,
          vip.kind,
          vip.announced ? 'yes' : 'no',
          vip.services.join(', '),
          vip.reason,
        ]),
      ),
    );
  }
  if (view.issues.length > 0) {
    parts.push(`Issues (${view.issues.length}):\n${view.issues.map((issue) => `  ${issueLine(issue)}\n`).join('')}`);
  }
  return parts.join('\n');
}
