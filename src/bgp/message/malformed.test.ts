import { describe, expect, it } from 'vitest';
import { malformedUpdates } from '../../../test/conformance/bgp-malformed.ts';
import { toHex } from '../../../test/support/hex.ts';
import { encodeAttributes } from './attributes/encode.ts';
import { checkHeader } from './header.ts';
import { decodeUpdate } from './message.ts';
import type { AttributeContext } from './types.ts';

const session = {
  prefix: '10.9.8.0/24',
  peerAs: 64501,
  localAs: 64500,
  peerAddress: '192.0.2.1',
  localAddress: '192.0.2.2',
};

describe('malformed and odd UPDATEs', () => {
  it('has 150 cases or more, each by its own name', () => {
    const names = malformedUpdates.map(({ group, name }) => `${group}: ${name}`);
    expect(names.length).toBeGreaterThanOrEqual(150);
    expect(new Set(names).size).toBe(names.length);
  });

  it.each(
    malformedUpdates.map((entry) => [`${entry.group}: ${entry.name} → ${entry.expected} (RFC ${entry.rfc})`, entry]),
  )('%s', (_name, entry) => {
    const message = entry.build(session);
    expect(checkHeader(message, 0, 4096)).toBeUndefined();
    const context: AttributeContext = {
      peerType: entry.session,
      fourOctetAs: !entry.twoOctetAs,
      families: ['ipv4-unicast', 'ipv6-unicast'],
    };
    const { reaction, findings, attributes } = decodeUpdate(message, 0, message.length, context);
    expect({ reaction, findings: findings.map(({ reason }) => reason) }).toMatchObject({ reaction: entry.expected });
    if (reaction === 'reset') {
      expect(findings.find((finding) => finding.reaction === 'reset')?.notification?.code).toBe(3);
    }
    const named = { 7: attributes.aggregator, 9: attributes.originatorId, 10: attributes.clusterList };
    if (entry.forwarded !== undefined) {
      const out = new Uint8Array(4096);
      const end = encodeAttributes(attributes, {}, out, 0);
      expect(toHex(out.subarray(0, end))).toContain(entry.forwarded);
    }
    for (const code of entry.absent) {
      expect(named[code as 7]).toBeUndefined();
      expect(attributes.unknown?.some((raw) => raw.code === code) ?? false).toBe(false);
    }
  });
});
