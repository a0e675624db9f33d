import { overlay } from "../examples.ts";
import type { JsonRow } from "../json.ts";
import { type Listing, tradingTime } from "../listing.ts";
import { statementsOf, sum } from "../statements.ts";
import { type Endpoint, symbolEndpoint, type World } from "./endpoint.ts";
import { lastDividend } from "./profile.ts";

/** `ratios-ttm`: one row over the last four quarters; `[]` for funds and ETFs. */
export const ratiosTtm: Endpoint = symbolEndpoint("ratios-ttm", (symbol, _query, world) => {
  const listing = world.universe.bySymbol.get(symbol);
  const row = listing && ratiosRow(listing, world);
  if (!row) return [];
  return overlay([row], {
    examples: world.examples.rowsOf("ratios-ttm", symbol),
    key: (each) => String(each.symbol),
    moving: Object.keys(row),
    verbatim: world.frozen,
  });
});

/** Every ratio moves with the price or the last filing. A division by zero is sent as 0. */
function ratiosRow(listing: Listing, world: World): JsonRow | null {
  const quarters = statementsOf(listing, world.now)
    .filter((statement) => statement.period !== "FY").take(4).toArray();
  const balance = quarters[0]?.balance;
  if (!balance || quarters.length < 4) return null;
  const income = sum(quarters.map((quarter) => quarter.income));
  const cash = sum(quarters.map((quarter) => quarter.cash));
  const i = (key: string) => income[key] ?? 0;
  const b = (key: string) => balance[key] ?? 0;
  const c = (key: string) => cash[key] ?? 0;
  const shares = listing.sharesOutstanding;
  const perUnit = listing.currency === "GBp" ? 100 : 1;
  const at = tradingTime(listing, world.now).getTime();
  const price = world.market.price(listing, at) / perUnit;
  const cap = price * shares;
  const dividend = lastDividend(listing) / perUnit;
  const debt = b("totalDebt");
  const equity = b("totalEquity");
  const priceToBook = ratio(cap, equity);
  const priceToEarnings = ratio(cap, i("netIncome"));
  const growth = (listing.business?.growth ?? 0) * 100;
  const enterpriseValue = cap + b("netDebt");
  const bookPerShare = ratio(equity, shares);
  const capex = -c("capitalExpenditure");
  const operatingCash = c("operatingCashFlow");
  return {
    symbol: listing.symbol,
    grossProfitMarginTTM: ratio(i("grossProfit"), i("revenue")),
    ebitMarginTTM: ratio(i("ebit"), i("revenue")),
    ebitdaMarginTTM: ratio(i("ebitda"), i("revenue")),
    operatingProfitMarginTTM: ratio(i("operatingIncome"), i("revenue")),
    pretaxProfitMarginTTM: ratio(i("incomeBeforeTax"), i("revenue")),
    continuousOperationsProfitMarginTTM: ratio(i("netIncome"), i("revenue")),
    netProfitMarginTTM: ratio(i("netIncome"), i("revenue")),
    bottomLineProfitMarginTTM: ratio(i("netIncome"), i("revenue")),
    receivablesTurnoverTTM: ratio(i("revenue"), b("netReceivables")),
    payablesTurnoverTTM: ratio(i("costOfRevenue"), b("accountPayables")),
    inventoryTurnoverTTM: ratio(i("costOfRevenue"), b("inventory")),
    fixedAssetTurnoverTTM: ratio(i("revenue"), b("propertyPlantEquipmentNet")),
    assetTurnoverTTM: ratio(i("revenue"), b("totalAssets")),
    currentRatioTTM: ratio(b("totalCurrentAssets"), b("totalCurrentLiabilities")),
    quickRatioTTM: ratio(
      b("totalCurrentAssets") - b("inventory"),
      b("totalCurrentLiabilities"),
    ),
    solvencyRatioTTM: ratio(
      i("netIncome") + i("depreciationAndAmortization"),
      b("totalLiabilities"),
    ),
    cashRatioTTM: ratio(b("cashAndCashEquivalents"), b("totalCurrentLiabilities")),
    priceToEarningsRatioTTM: priceToEarnings,
    priceToEarningsGrowthRatioTTM: ratio(priceToEarnings, growth),
    forwardPriceToEarningsGrowthRatioTTM: ratio(priceToEarnings, growth),
    priceToBookRatioTTM: priceToBook,
    priceToSalesRatioTTM: ratio(cap, i("revenue")),
    priceToFreeCashFlowRatioTTM: ratio(cap, c("freeCashFlow")),
    priceToOperatingCashFlowRatioTTM: ratio(cap, operatingCash),
    debtToAssetsRatioTTM: ratio(debt, b("totalAssets")),
    debtToEquityRatioTTM: ratio(debt, equity),
    debtToCapitalRatioTTM: ratio(debt, debt + equity),
    longTermDebtToCapitalRatioTTM: ratio(b("longTermDebt"), b("longTermDebt") + equity),
    financialLeverageRatioTTM: ratio(b("totalAssets"), equity),
    workingCapitalTurnoverRatioTTM: ratio(
      i("revenue"),
      b("totalCurrentAssets") - b("totalCurrentLiabilities"),
    ),
    operatingCashFlowRatioTTM: ratio(operatingCash, b("totalCurrentLiabilities")),
    operatingCashFlowSalesRatioTTM: ratio(operatingCash, i("revenue")),
    freeCashFlowOperatingCashFlowRatioTTM: ratio(c("freeCashFlow"), operatingCash),
    debtServiceCoverageRatioTTM: ratio(i("ebitda"), b("shortTermDebt") + i("interestExpense")),
    interestCoverageRatioTTM: ratio(i("ebit"), i("interestExpense")),
    shortTermOperatingCashFlowCoverageRatioTTM: ratio(operatingCash, b("shortTermDebt")),
    operatingCashFlowCoverageRatioTTM: ratio(operatingCash, debt),
    capitalExpenditureCoverageRatioTTM: ratio(operatingCash, capex),
    dividendPaidAndCapexCoverageRatioTTM: ratio(operatingCash, capex - c("netDividendsPaid")),
    dividendPayoutRatioTTM: ratio(-c("netDividendsPaid"), i("netIncome")),
    dividendYieldTTM: ratio(dividend, price),
    enterpriseValueTTM: enterpriseValue,
    revenuePerShareTTM: ratio(i("revenue"), shares),
    netIncomePerShareTTM: ratio(i("netIncome"), shares),
    interestDebtPerShareTTM: ratio(debt + i("interestExpense"), shares),
    cashPerShareTTM: ratio(b("cashAndShortTermInvestments"), shares),
    bookValuePerShareTTM: bookPerShare,
    tangibleBookValuePerShareTTM: ratio(equity - b("goodwillAndIntangibleAssets"), shares),
    shareholdersEquityPerShareTTM: bookPerShare,
    operatingCashFlowPerShareTTM: ratio(operatingCash, shares),
    capexPerShareTTM: ratio(capex, shares),
    freeCashFlowPerShareTTM: ratio(c("freeCashFlow"), shares),
    netIncomePerEBTTTM: ratio(i("netIncome"), i("incomeBeforeTax")),
    ebtPerEbitTTM: ratio(i("incomeBeforeTax"), i("ebit")),
    priceToFairValueTTM: priceToBook,
    debtToMarketCapTTM: ratio(debt, cap),
    effectiveTaxRateTTM: ratio(i("incomeTaxExpense"), i("incomeBeforeTax")),
    enterpriseValueMultipleTTM: ratio(enterpriseValue, i("ebitda")),
    ...(listing.liveOnlyKeys ? { dividendPerShareTTM: dividend } : {}),
  };
}

function ratio(numerator: number, denominator: number): number {
  return denominator === 0 ? 0 : numerator / denominator;
}
