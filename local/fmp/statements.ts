import { day, isoDate, plusDays, weekdayFrom } from "./calendar.ts";
import { type Business, type Listing, tradingTime } from "./listing.ts";
import { between, round, uniform } from "./random.ts";

export type Period = "FY" | "Q1" | "Q2" | "Q3" | "Q4";

/** The three statements of one period; amounts in the reporting currency, outflows negative. */
export interface Statement {
  period: Period;
  fiscalYear: number;
  /** Last day of the period. A year and its fourth quarter share it. */
  date: string;
  filingDate: string;
  /** YYYY-MM-DD HH:MM:SS, US Eastern time. */
  acceptedDate: string;
  income: Record<string, number>;
  balance: Record<string, number>;
  cash: Record<string, number>;
}

/** Statements filed by `now` (by the last trade of a dormant listing), newest first, the year before its fourth quarter. */
export function* statementsOf(listing: Listing, now: Date): Generator<Statement, void> {
  const { business } = listing;
  if (!business) return;
  const then = tradingTime(listing, now);
  const today = isoDate(then);
  for (let year = then.getUTCFullYear() + 1; year >= business.firstFiscalYear; year--) {
    const quarters = ([1, 2, 3, 4] as const).map((number) =>
      quarterOf(listing, business, year, number)
    );
    const [first, second, third, fourth] = quarters;
    if (!first || !second || !third || !fourth) continue;
    for (
      const statement of [yearOf(listing, business, quarters, fourth), fourth, third, second, first]
    ) {
      if (statement.filingDate <= today) yield statement;
    }
  }
}

/** Balance, income and cash flow of one quarter, with totals that add up. */
function quarterOf(
  listing: Listing,
  business: Business,
  fiscalYear: number,
  number: 1 | 2 | 3 | 4,
): Statement {
  const key = `${listing.symbol}:${fiscalYear}:${number}`;
  const unit = business.revenue >= 1e10 ? 1e6 : business.revenue >= 1e7 ? 1e3 : 1;
  const amount = (value: number) => Math.round(value / unit) * unit;
  const own = (low: number, high: number, what: string) => between(low, high, listing.symbol, what);

  const season = 1 + 0.12 * Math.sin(number * 1.7 + own(0, 6, "season"));
  const yearly = business.revenue * (1 + business.growth) ** (fiscalYear - 2024);
  const revenue = amount(yearly / 4 * season * between(0.96, 1.04, key, "revenue"));
  const operatingMargin = business.netMargin > 0 ? business.netMargin / 0.79 : business.netMargin;
  const overhead = own(0.08, 0.3, "overhead");
  const operatingIncome = amount(revenue * operatingMargin * between(0.93, 1.07, key, "margin"));
  const operatingExpenses = amount(revenue * overhead);
  const grossProfit = operatingIncome + operatingExpenses;
  const costOfRevenue = revenue - grossProfit;
  const research = uniform(listing.symbol, "research") < 0.6 ? amount(operatingExpenses * 0.45) : 0;
  const selling = operatingExpenses - research;
  // Some filers give no interest; the vendor then sends 0 and derived ratios of 0.
  const borrows = uniform(listing.symbol, "interest") < 0.6;
  const interestExpense = borrows && listing.cik !== "0000320193" ? amount(revenue * 0.008) : 0;
  const otherIncome = amount(revenue * between(-0.004, 0.004, key, "other")) - interestExpense;
  const incomeBeforeTax = operatingIncome + otherIncome;
  const incomeTax = incomeBeforeTax > 0 ? amount(incomeBeforeTax * own(0.14, 0.26, "tax")) : 0;
  const netIncome = incomeBeforeTax - incomeTax;
  const depreciation = amount(revenue * own(0.02, 0.09, "depreciation"));
  const shares = Math.round(
    listing.sharesOutstanding * (1 + 0.006 * Math.max(0, 2026 - fiscalYear)),
  );
  const diluted = Math.round(shares * 1.004);

  const income: Record<string, number> = {
    revenue,
    costOfRevenue,
    grossProfit,
    researchAndDevelopmentExpenses: research,
    generalAndAdministrativeExpenses: uniform(listing.symbol, "repeats") < 0.3 ? selling : 0,
    sellingAndMarketingExpenses: 0,
    sellingGeneralAndAdministrativeExpenses: selling,
    otherExpenses: 0,
    operatingExpenses,
    costAndExpenses: costOfRevenue + operatingExpenses,
    netInterestIncome: -interestExpense,
    interestIncome: 0,
    interestExpense,
    depreciationAndAmortization: depreciation,
    ebitda: operatingIncome + depreciation,
    ebit: operatingIncome,
    nonOperatingIncomeExcludingInterest: 0,
    operatingIncome,
    totalOtherIncomeExpensesNet: otherIncome,
    incomeBeforeTax,
    incomeTaxExpense: incomeTax,
    netIncomeFromContinuingOperations: netIncome,
    netIncomeFromDiscontinuedOperations: 0,
    otherAdjustmentsToNetIncome: 0,
    netIncome,
    netIncomeDeductions: 0,
    bottomLineNetIncome: netIncome,
    eps: round(netIncome / shares, 2),
    epsDiluted: round(netIncome / diluted, 2),
    weightedAverageShsOut: shares,
    weightedAverageShsOutDil: diluted,
  };

  const balance = balanceOf(listing, yearly, key, amount);
  const date = periodEnd(business, fiscalYear, number);
  const filed = weekdayFrom(plusDays(date, Math.round(own(24, 55, "filing"))));
  const seconds = Math.floor(between(0, 3600, key, "accepted"));
  const clock = `${pad(6 + 10 * Math.round(own(0, 1, "hour")))}:${pad(Math.floor(seconds / 60))}`;
  return {
    period: `Q${number}`,
    fiscalYear,
    date: isoDate(date),
    filingDate: isoDate(filed),
    acceptedDate: `${isoDate(filed)} ${clock}:${pad(seconds % 60)}`,
    income,
    balance,
    cash: cashOf(listing, income, balance, key, amount),
  };
}

type Rounding = (value: number) => number;

function balanceOf(
  listing: Listing,
  yearly: number,
  key: string,
  amount: Rounding,
): Record<string, number> {
  const part = (low: number, high: number, what: string) =>
    amount(yearly * between(low, high, listing.symbol, what) * between(0.97, 1.03, key, what));
  const cash = part(0.05, 0.2, "cash");
  const shortTermInvestments = part(0, 0.12, "short investments");
  const accountsReceivables = part(0.05, 0.12, "receivables");
  const otherReceivables = part(0, 0.05, "other receivables");
  const inventory = part(0, 0.12, "inventory");
  const otherCurrentAssets = part(0.01, 0.04, "other current");
  const receivables = accountsReceivables + otherReceivables;
  const currentAssets = cash + shortTermInvestments + receivables + inventory + otherCurrentAssets;
  const property = part(0.08, 0.5, "property");
  const goodwill = part(0, 0.15, "goodwill");
  const intangibles = part(0, 0.08, "intangibles");
  const longTermInvestments = part(0, 0.25, "long investments");
  const taxAssets = part(0, 0.04, "tax assets");
  const otherNonCurrentAssets = part(0.02, 0.15, "other assets");
  const nonCurrentAssets = property + goodwill + intangibles + longTermInvestments + taxAssets +
    otherNonCurrentAssets;
  const totalAssets = currentAssets + nonCurrentAssets;

  const accountPayables = part(0.03, 0.12, "payables");
  const otherPayables = part(0, 0.03, "other payables");
  const shortTermDebt = part(0, 0.05, "short debt");
  const leasesCurrent = part(0.001, 0.006, "leases");
  const deferredRevenue = part(0, 0.05, "deferred");
  const otherCurrentLiabilities = part(0.02, 0.08, "other current liabilities");
  const totalPayables = accountPayables + otherPayables;
  const currentLiabilities = totalPayables + shortTermDebt + leasesCurrent + deferredRevenue +
    otherCurrentLiabilities;
  const longTermDebt = part(0.02, 0.25, "long debt");
  const leasesNonCurrent = part(0.005, 0.03, "long leases");
  const otherNonCurrentLiabilities = part(0.02, 0.08, "other liabilities");
  // The older arithmetic has no lease key and keeps the amount under deferred revenue.
  const leaseKey: Record<string, number> = listing.liveOnlyKeys
    ? { capitalLeaseObligationsNonCurrent: leasesNonCurrent }
    : {};
  const deferredNonCurrent = listing.liveOnlyKeys ? 0 : leasesNonCurrent;
  const leases = leasesCurrent + leasesNonCurrent;
  const nonCurrentLiabilities = longTermDebt + leasesNonCurrent + otherNonCurrentLiabilities;
  const totalLiabilities = currentLiabilities + nonCurrentLiabilities;
  const equity = totalAssets - totalLiabilities;
  const commonStock = part(0.05, 0.2, "common stock");
  const otherIncome = amount(-yearly * 0.01);
  const totalDebt = shortTermDebt + longTermDebt + (listing.liveOnlyKeys ? leases : 0);

  return {
    cashAndCashEquivalents: cash,
    shortTermInvestments,
    cashAndShortTermInvestments: cash + shortTermInvestments,
    netReceivables: receivables,
    accountsReceivables,
    otherReceivables,
    inventory,
    prepaids: 0,
    otherCurrentAssets,
    totalCurrentAssets: currentAssets,
    propertyPlantEquipmentNet: property,
    goodwill,
    intangibleAssets: intangibles,
    goodwillAndIntangibleAssets: goodwill + intangibles,
    longTermInvestments,
    taxAssets,
    otherNonCurrentAssets,
    totalNonCurrentAssets: nonCurrentAssets,
    otherAssets: 0,
    totalAssets,
    totalPayables,
    accountPayables,
    otherPayables,
    accruedExpenses: 0,
    shortTermDebt,
    capitalLeaseObligationsCurrent: leasesCurrent,
    taxPayables: otherPayables,
    deferredRevenue,
    otherCurrentLiabilities,
    totalCurrentLiabilities: currentLiabilities,
    longTermDebt,
    ...leaseKey,
    deferredRevenueNonCurrent: deferredNonCurrent,
    deferredTaxLiabilitiesNonCurrent: 0,
    otherNonCurrentLiabilities,
    totalNonCurrentLiabilities: nonCurrentLiabilities,
    otherLiabilities: 0,
    capitalLeaseObligations: leases,
    totalLiabilities,
    treasuryStock: 0,
    preferredStock: 0,
    commonStock,
    retainedEarnings: equity - commonStock - otherIncome,
    additionalPaidInCapital: 0,
    accumulatedOtherComprehensiveIncomeLoss: otherIncome,
    otherTotalStockholdersEquity: 0,
    totalStockholdersEquity: equity,
    totalEquity: equity,
    minorityInterest: 0,
    totalLiabilitiesAndTotalEquity: totalAssets,
    totalInvestments: shortTermInvestments + longTermInvestments,
    totalDebt,
    netDebt: totalDebt - cash,
  };
}

function cashOf(
  listing: Listing,
  income: Record<string, number>,
  balance: Record<string, number>,
  key: string,
  amount: Rounding,
): Record<string, number> {
  const revenue = income.revenue ?? 0;
  const netIncome = income.netIncome ?? 0;
  const depreciation = income.depreciationAndAmortization ?? 0;
  const part = (low: number, high: number, what: string) =>
    amount(revenue * between(low, high, key, what));
  const compensation = part(0, 0.03, "compensation");
  const receivables = part(-0.02, 0.02, "receivables flow");
  const inventory = part(-0.01, 0.01, "inventory flow");
  const payables = part(-0.02, 0.02, "payables flow");
  const otherCapital = part(-0.01, 0.01, "other capital");
  const workingCapital = receivables + inventory + payables + otherCapital;
  const otherItems = part(-0.01, 0.01, "other items");
  const operating = netIncome + depreciation + compensation + workingCapital + otherItems;
  const capex = part(-0.08, -0.02, "capex");
  const purchases = part(-0.15, -0.05, "purchases");
  const sales = part(0.05, 0.15, "sales");
  const otherInvesting = part(-0.01, 0.01, "other investing");
  const investing = capex + purchases + sales + otherInvesting;
  const longDebt = part(-0.03, 0.02, "long debt flow");
  const shortDebt = part(-0.01, 0.01, "short debt flow");
  const buybacks = netIncome > 0 ? amount(-netIncome * between(0, 0.6, key, "buybacks")) : 0;
  const dividends = listing.dividend
    ? amount(-Math.max(0, netIncome) * between(0.1, 0.4, listing.symbol, "payout"))
    : 0;
  const otherFinancing = part(-0.01, 0.005, "other financing");
  const financing = longDebt + shortDebt + buybacks + dividends + otherFinancing;
  const change = operating + investing + financing;
  const atEnd = balance.cashAndCashEquivalents ?? 0;
  return {
    netIncome,
    depreciationAndAmortization: depreciation,
    deferredIncomeTax: 0,
    stockBasedCompensation: compensation,
    changeInWorkingCapital: workingCapital,
    accountsReceivables: receivables,
    inventory,
    accountsPayables: payables,
    otherWorkingCapital: otherCapital,
    otherNonCashItems: otherItems,
    netCashProvidedByOperatingActivities: operating,
    investmentsInPropertyPlantAndEquipment: capex,
    acquisitionsNet: 0,
    purchasesOfInvestments: purchases,
    salesMaturitiesOfInvestments: sales,
    otherInvestingActivities: otherInvesting,
    netCashProvidedByInvestingActivities: investing,
    netDebtIssuance: longDebt + shortDebt,
    longTermNetDebtIssuance: longDebt,
    shortTermNetDebtIssuance: shortDebt,
    netStockIssuance: buybacks,
    netCommonStockIssuance: buybacks,
    commonStockIssuance: 0,
    commonStockRepurchased: buybacks,
    netPreferredStockIssuance: 0,
    netDividendsPaid: dividends,
    commonDividendsPaid: dividends,
    preferredDividendsPaid: 0,
    otherFinancingActivities: otherFinancing,
    netCashProvidedByFinancingActivities: financing,
    effectOfForexChangesOnCash: 0,
    netChangeInCash: change,
    cashAtEndOfPeriod: atEnd,
    cashAtBeginningOfPeriod: atEnd - change,
    operatingCashFlow: operating,
    capitalExpenditure: capex,
    freeCashFlow: operating + capex,
    incomeTaxesPaid: income.incomeTaxExpense ?? 0,
    interestPaid: income.interestExpense ?? 0,
  };
}

/** The year: flows are the quarters' sums, the balance is the fourth quarter's. */
function yearOf(
  listing: Listing,
  business: Business,
  quarters: readonly Statement[],
  fourth: Statement,
): Statement {
  const income = sum(quarters.map((quarter) => quarter.income));
  const shares = fourth.income.weightedAverageShsOut ?? listing.sharesOutstanding;
  const diluted = fourth.income.weightedAverageShsOutDil ?? shares;
  const netIncome = income.netIncome ?? 0;
  const cash = sum(quarters.map((quarter) => quarter.cash));
  return {
    ...fourth,
    period: "FY",
    date: isoDate(periodEnd(business, fourth.fiscalYear, 4)),
    income: {
      ...income,
      eps: round(netIncome / shares, 2),
      epsDiluted: round(netIncome / diluted, 2),
      weightedAverageShsOut: shares,
      weightedAverageShsOutDil: diluted,
    },
    cash: {
      ...cash,
      cashAtEndOfPeriod: fourth.cash.cashAtEndOfPeriod ?? 0,
      cashAtBeginningOfPeriod: (fourth.cash.cashAtEndOfPeriod ?? 0) - (cash.netChangeInCash ?? 0),
    },
  };
}

/** Adds the values under each key. */
export function sum(parts: readonly Record<string, number>[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const part of parts) {
    for (const [key, value] of Object.entries(part)) total[key] = (total[key] ?? 0) + value;
  }
  return total;
}

function periodEnd(business: Business, fiscalYear: number, number: 1 | 2 | 3 | 4): Date {
  // Day 0 of the following month; months below 1 fall into the year before.
  const last = day(fiscalYear, business.yearEndMonth - (4 - number) * 3 + 1, 0);
  return business.endsOnSaturday ? plusDays(last, -((last.getUTCDay() + 1) % 7)) : last;
}

function pad(value: number): string {
  return String(value).padStart(2, "0");
}
