import { VendorError } from "./errors.ts";

/** Reads a setting at the time of a request; throws a VendorError when that fails. */
export function readSetting<Value>(subject: string, read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    throw new VendorError(
      `Cannot fetch ${subject}: ${error instanceof Error ? error.message : String(error)}`,
      { errorClass: "retryable", code: "configuration" },
    );
  }
}
