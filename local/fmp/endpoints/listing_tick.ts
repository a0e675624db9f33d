import { isDormant, lastTrade, type Listing } from "../listing.ts";
import type { Tick } from "../market.ts";
import type { World } from "./endpoint.ts";

/** A listing's day: of the last trade and without volume when it is dormant. */
export interface ListingTick extends Tick {
  /** When the price was made. */
  at: Date;
  averageVolume: number;
  dormant: boolean;
}

/** The moving values of a listing at the call. */
export function listingTick(listing: Listing, world: World): ListingTick {
  const at = lastTrade(listing, world.now);
  const tick = world.market.tick(listing, at.getTime());
  const dormant = isDormant(listing, world.now);
  return dormant
    ? { ...tick, volume: 0, at, averageVolume: 0, dormant }
    : { ...tick, at, averageVolume: listing.averageVolume, dormant };
}
