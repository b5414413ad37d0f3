/**
 * Model check: speakers over an in-memory network that delays, cuts into pieces, resets and partitions, in virtual time. Whatever happens,
 * once it stops happening both hold exactly what the other announces.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createMemoryNetwork } from '../testing/paired-peers.ts';
import type { MemoryNetwork } from '../testing/paired-peers.ts';
import type { PeerOptions, Speaker } from './index.ts';
import { createSpeaker } from './index.ts';

interface Real {
  readonly network: MemoryNetwork;
  readonly speakers: Speaker[];
  readonly options: PeerOptions[][];
}
interface Model {
  readonly announced: Map<string, number>[];
}
type Step = fc.AsyncCommand<Model, Real>;

const prefixOf = (side: number, index: number): string =>
  index % 3 === 2 ? `2001:db8:${side}:${index}::/64` : `10.${side}.${index}.0/24`;

function announce(side: number, index: number, med: number): Step {
  return {
    check: () => true,
    run(model, real) {
      model.announced[side]!.set(prefixOf(side, index), med);
      tell(model, real, side);
      return Promise.resolve();
    },
    toString: () => `announce(${side}, ${index}, ${med})`,
  };
}
function withdraw(side: number, index: number): Step {
  return {
    check: (model) => model.announced[side]!.has(prefixOf(side, index)),
    run(model, real) {
      model.announced[side]!.delete(prefixOf(side, index));
      tell(model, real, side);
      return Promise.resolve();
    },
    toString: () => `withdraw(${side}, ${index})`,
  };
}
const simple = (name: string, act: (real: Real) => void): Step => ({
  check: () => true,
  run(_model, real) {
    act(real);
    return Promise.resolve();
  },
  toString: () => name,
});

function tell(model: Model, real: Real, side: number): void {
  real.speakers[side]!.setAdvertisements(
    [...model.announced[side]!].map(([prefix, med]) => ({ prefix, origin: 'other', attributes: { med } })),
  );
}

const side = fc.nat({ max: 1 });
const commands = fc.commands(
  [
    fc.tuple(side, fc.nat({ max: 8 }), fc.nat({ max: 3 })).map(([at, index, med]) => announce(at, index, med)),
    fc.tuple(side, fc.nat({ max: 8 })).map(([at, index]) => withdraw(at, index)),
    fc.nat({ max: 8000 }).map((ms) => simple(`run(${ms})`, ({ network }) => network.run(ms))),
    fc.nat({ max: 40 }).map((ms) => simple(`run(${ms})`, ({ network }) => network.run(ms))),
    fc.constant(simple('cut', ({ network }) => network.cut())),
    fc.nat({ max: 200_000 }).map((ms) =>
      simple(`partition(${ms})`, ({ network }) => {
        const heal = network.partition(() => true);
        network.run(ms);
        heal();
      }),
    ),
    side.map((at) => simple(`reset(${at})`, ({ speakers }) => speakers[at]!.resetPeer(`192.0.2.${2 - at}`))),
    side.map((at) =>
      simple(`refresh(${at})`, ({ speakers }) => speakers[at]!.resetPeer(`192.0.2.${2 - at}`, { soft: true })),
    ),
    side.map((at) =>
      simple(`reconfigure(${at})`, ({ speakers, options }) => {
        speakers[at]!.setPeers([]);
        speakers[at]!.setPeers(options[at]!);
      }),
    ),
  ],
  { maxCommands: 30 },
);

const variants: readonly [string, Partial<PeerOptions>, number, number][] = [
  ['eBGP', {}, 65001, 65002],
  ['iBGP', {}, 65001, 65001],
  ['eBGP with graceful restart', { gracefulRestart: { restartTime: 30 } }, 65001, 65002],
  ['eBGP with delayed OPEN', { delayOpen: 1 }, 65001, 65002],
];

it.each(variants)(
  '%s: two speakers converge to the same routes',
  async (_name, extra, left, right) => {
    await fc.assert(
      fc.asyncProperty(
        fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })),
        fc.integer({ min: 1, max: 200 }),
        commands,
        async (stream, pieceLength, list) => {
          const network = createMemoryNetwork({
            random: () => (stream.next() as IteratorYieldResult<number>).value,
            delayMs: 30,
            pieceLength,
          });
          const asns = [left, right];
          const options = asns.map((_, at): PeerOptions[] => [
            {
              address: `192.0.2.${2 - at}`,
              asn: asns[1 - at]!,
              idleHoldTime: 0.1,
              connectRetryTime: 1,
              holdTime: 9,
              nextHop: { ipv6: `2001:db8::${at + 1}` },
              ...extra,
            },
          ]);
          const speakers: Speaker[] = [];
          for (const at of [0, 1]) {
            const address = `192.0.2.${at + 1}`;
            speakers.push(
              await createSpeaker({
                asn: asns[at]!,
                routerId: address,
                listen: [{ address }],
                peers: options[at]!,
                clock: network.clock,
                transport: network.transport(address),
              }),
            );
          }
          const real: Real = { network, speakers, options };
          const model: Model = { announced: [new Map<string, number>(), new Map<string, number>()] };
          await fc.asyncModelRun(() => ({ model, real }), list);
          network.run(300_000);
          for (const at of [0, 1]) {
            expect(speakers[at]!.peers()[0]).toMatchObject({ state: 'established', restarting: false, synced: true });
            const learned = speakers[at]!.query((path) => path.peer !== '');
            expect(learned.map((path) => [path.prefix, path.attributes.med]).sort()).toEqual(
              [...model.announced[1 - at]!].sort(),
            );
            const out = speakers[at]!.adjacent(`192.0.2.${2 - at}`, 'out').map((path) => path.prefix);
            expect(out.sort()).toEqual([...model.announced[at]!.keys()].sort());
          }
          expect(network.connections).toBe(1);
          for (const speaker of speakers) await speaker.close();
        },
      ),
      { numRuns: 40 },
    );
  },
  60_000,
);
