import { hash32, round, smoothNoise, uniform } from "./random.ts";

const yearSeconds = 365.25 * 86_400;
const dayMs = 86_400_000;

/** Periods of the walk's layers, from ticks to quarters of a year. */
const periodsSeconds = [7, 60, 600, 6_000, 86_400, 864_000, 7_776_000];

/** What moves. */
export interface Instrument {
  symbol: string;
  /** Centre of the walk, in the listing's currency. */
  basePrice: number;
  /** Standard deviation of a year's return: 0.3 is 30 %. */
  volatility: number;
  /** Units traded in a whole day. */
  averageVolume: number;
  /** Decimal places of a price. */
  places: number;
  /** Volume carries fractions. */
  fractionalVolume: boolean;
}

/** An instrument's day at an instant. Prices in the listing's currency, percent in percent units. */
export interface Tick {
  price: number;
  change: number;
  changePercentage: number;
  volume: number;
  dayLow: number;
  dayHigh: number;
  yearLow: number;
  yearHigh: number;
  priceAvg50: number;
  priceAvg200: number;
  open: number;
  previousClose: number;
}

/** Steps in which the lows and highs of a day are taken. */
const stepMs = 1_800_000;

/**
 * Prices as a function of the clock alone: layers of smooth noise whose heights follow the square
 * root of their period, as in a random walk. Asking twice for an instant gives the same price, and
 * the clock may jump either way. Days begin at midnight UTC and markets never close.
 */
export class Market {
  #seed: number;
  #pastDays = new Map<string, PastDays>();
  #ranges = new Map<string, Range>();

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** Price at an instant. */
  price(instrument: Instrument, atMs: number): number {
    const seed = hash32(`${this.#seed}:${instrument.symbol}`);
    let offset = 0;
    for (const [index, period] of periodsSeconds.entries()) {
      offset += layerHeight(instrument, period) *
        smoothNoise(seed + index, atMs / 1000 / period);
    }
    return round(instrument.basePrice * Math.exp(offset), instrument.places);
  }

  /** The whole row of moving values at an instant. */
  tick(instrument: Instrument, atMs: number): Tick {
    const midnight = Math.floor(atMs / dayMs) * dayMs;
    const price = this.price(instrument, atMs);
    const open = this.price(instrument, midnight);
    const past = this.#past(instrument, midnight);
    const { dayLow, dayHigh } = this.#range(instrument, midnight, atMs);
    const change = price - past.close;
    const partOfDay = (atMs - midnight) / dayMs;
    const busy = 0.7 + 0.6 * uniform(this.#seed, instrument.symbol, "volume", midnight);
    const volume = instrument.averageVolume * busy * partOfDay;
    return {
      price,
      change: round(change, instrument.places),
      changePercentage: round(change / past.close * 100, 5),
      volume: instrument.fractionalVolume ? round(volume, 5) : Math.floor(volume),
      dayLow,
      dayHigh,
      yearLow: Math.min(past.low, dayLow),
      yearHigh: Math.max(past.high, dayHigh),
      priceAvg50: past.average50,
      priceAvg200: past.average200,
      open,
      previousClose: past.close,
    };
  }

  /**
   * Lowest and highest price of a day so far. They only widen, as those of a real market: what a
   * price may reach until the next half hour counts as reached at once.
   */
  #range(instrument: Instrument, midnight: number, atMs: number) {
    let range = this.#ranges.get(instrument.symbol);
    if (range === undefined || range.next - stepMs > atMs || range.next <= midnight) {
      range = { next: midnight, low: Infinity, high: 0 };
      this.#ranges.set(instrument.symbol, range);
    }
    for (; range.next <= atMs; range.next += stepMs) {
      const seen = this.price(instrument, range.next);
      range.low = Math.min(range.low, seen);
      range.high = Math.max(range.high, seen);
    }
    const reach = Math.exp(mostMovement(instrument, stepMs));
    return {
      dayLow: round(range.low / reach, instrument.places),
      dayHigh: round(range.high * reach, instrument.places),
    };
  }

  #past(instrument: Instrument, midnight: number): PastDays {
    const known = this.#pastDays.get(instrument.symbol);
    if (known?.midnight === midnight) return known;
    const closes: number[] = [];
    for (let day = 0; day < 365; day += 5) {
      closes.push(this.price(instrument, midnight - 1 - day * dayMs));
    }
    const past: PastDays = {
      midnight,
      close: closes[0] ?? instrument.basePrice,
      low: Math.min(...closes),
      high: Math.max(...closes),
      average50: round(mean(closes.slice(0, 14)), instrument.places + 2),
      average200: round(mean(closes.slice(0, 58)), instrument.places + 3),
    };
    this.#pastDays.set(instrument.symbol, past);
    return past;
  }
}

function layerHeight(instrument: Instrument, periodSeconds: number): number {
  return instrument.volatility * Math.sqrt(periodSeconds / yearSeconds) * 1.2;
}

/** The most that the logarithm of a price moves by in a time: noise is in [-1, 1], its slope at most 3. */
function mostMovement(instrument: Instrument, ms: number): number {
  return periodsSeconds.reduce(
    (sum, period) => sum + layerHeight(instrument, period) * Math.min(2, 3 * ms / 1000 / period),
    0,
  );
}

/** What does not change during a day. */
interface PastDays {
  midnight: number;
  close: number;
  low: number;
  high: number;
  average50: number;
  average200: number;
}

/** Of the steps of one day before `next`. */
interface Range {
  next: number;
  low: number;
  high: number;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
