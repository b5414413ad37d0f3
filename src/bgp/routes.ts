/**
 * The stream of best routes: what changed in the Loc-RIB, as next hops, once a turn.
 * Nothing is kept while nobody listens; whoever comes gets everything first.
 */
import { Observable, Subject } from 'rxjs';
import type { KernelRoute, KernelRouteChanges } from '../net/values.ts';
import { linkLocalText, nextHopText } from './rib/attributes.ts';
import type { Multipath } from './rib/decision.ts';
import { multipath } from './rib/decision.ts';
import type { Rib } from './rib/table.ts';
import { prefixText } from './policy/hook.ts';

/** Follows the RIBs. */
export interface RouteStream {
  readonly routes$: Observable<KernelRouteChanges>;
  /** Whether anybody listens: only then need prefixes be marked. */
  readonly active: boolean;
  mark(rib: Rib, prefix: number): void;
  /** Tells what changed since the last call. */
  publish(): void;
  /** Tells that the first full picture has been delivered, once. */
  setSynced(): void;
  /** Whether a prefix may not be forgotten yet. */
  needs(rib: Rib, prefix: number): boolean;
  complete(): void;
}

interface Told {
  readonly rib: Rib;
  /** Next hops last told, by prefix, as one text. */
  readonly routes: Map<number, string>;
  readonly dirty: Set<number>;
}

/** Makes a {@link RouteStream}. */
export function createRouteStream(ribs: readonly Rib[], options: Multipath): RouteStream {
  const changes = new Subject<KernelRouteChanges>();
  let told: Told[] | undefined;
  let listeners = 0;
  let synced = false;

  const routeOf = (rib: Rib, prefix: number): KernelRoute | undefined => {
    const best = rib.best[prefix]!;
    if (best < 0 || rib.rowPeer[best] === 0) return undefined;
    const vias = new Set<string>();
    for (const row of multipath(rib, prefix, options)) {
      const attr = rib.rowAttr[row]!;
      const via = nextHopText(rib.store, attr);
      if (via !== '') vias.add(via.startsWith('fe8') ? (linkLocalText(rib.store, attr) ?? via) : via);
    }
    if (vias.size === 0) return undefined;
    return { prefix: prefixText(rib.prefixes, prefix), nextHops: [...vias].sort().map((via) => ({ via })) };
  };

  const keyOf = (route: KernelRoute): string => route.nextHops.map(({ via }) => via).join();

  const everything = (): KernelRoute[] => {
    const all: KernelRoute[] = [];
    for (const rib of ribs) {
      for (let prefix = 0; prefix < rib.prefixes.size; prefix++) {
        if (rib.head[prefix]! < 0) continue;
        const route = routeOf(rib, prefix);
        if (route !== undefined) all.push(route);
      }
    }
    return all;
  };

  const begin = (): void => {
    told = ribs.map((rib) => ({ rib, routes: new Map<number, string>(), dirty: new Set<number>() }));
    for (const one of told) {
      for (let prefix = 0; prefix < one.rib.prefixes.size; prefix++) {
        if (one.rib.head[prefix]! < 0) continue;
        const route = routeOf(one.rib, prefix);
        if (route !== undefined) one.routes.set(prefix, keyOf(route));
      }
    }
  };

  const publish = (): void => {
    if (told === undefined) return;
    const changed: KernelRoute[] = [];
    const removed: string[] = [];
    for (const { rib, routes, dirty } of told) {
      for (const prefix of dirty) {
        const route = rib.head[prefix]! < 0 ? undefined : routeOf(rib, prefix);
        const before = routes.get(prefix);
        if (route === undefined) {
          if (before === undefined) continue;
          routes.delete(prefix);
          removed.push(prefixText(rib.prefixes, prefix));
          continue;
        }
        const key = keyOf(route);
        if (key === before) continue;
        routes.set(prefix, key);
        changed.push(route);
      }
      dirty.clear();
    }
    if (changed.length > 0 || removed.length > 0) changes.next({ changed, removed, synced });
  };

  const routes$ = new Observable<KernelRouteChanges>((subscriber) => {
    if (listeners++ === 0) begin();
    else publish();
    subscriber.next({ changed: everything(), removed: [], synced });
    const subscription = changes.subscribe(subscriber);
    return () => {
      subscription.unsubscribe();
      if (--listeners === 0) told = undefined;
    };
  });

  return {
    routes$,
    get active() {
      return told !== undefined;
    },
    mark(rib, prefix) {
      told?.find((one) => one.rib === rib)?.dirty.add(prefix);
    },
    publish,
    setSynced() {
      if (synced) return;
      publish();
      synced = true;
      changes.next({ changed: [], removed: [], synced });
    },
    needs: (rib, prefix) =>
      told?.some((one) => one.rib === rib && (one.dirty.has(prefix) || one.routes.has(prefix))) ?? false,
    complete() {
      changes.complete();
      told = undefined;
    },
  };
}
