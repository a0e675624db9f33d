import { z } from "npm:zod@4.6.7";
import {
  fiscalPeriod,
  isDateTime,
  optionalNumber,
  requiredDate,
  requiredText,
  rowsOf,
  textAsSent,
} from "./fields.ts";

const INCOME_LINES = `
  revenue costOfRevenue grossProfit researchAndDevelopmentExpenses generalAndAdministrativeExpenses
  sellingAndMarketingExpenses sellingGeneralAndAdministrativeExpenses otherExpenses
  operatingExpenses costAndExpenses netInterestIncome interestIncome interestExpense
  depreciationAndAmortization ebitda ebit nonOperatingIncomeExcludingInterest operatingIncome
  totalOtherIncomeExpensesNet incomeBeforeTax incomeTaxExpense netIncomeFromContinuingOperations
  netIncomeFromDiscontinuedOperations otherAdjustmentsToNetIncome netIncome netIncomeDeductions
  bottomLineNetIncome eps epsDiluted weightedAverageShsOut weightedAverageShsOutDil`;

/** Without `capitalLeaseObligationsNonCurrent`, which live answers have and the documentation lacks. */
const BALANCE_SHEET_LINES = `
  cashAndCashEquivalents shortTermInvestments cashAndShortTermInvestments netReceivables
  accountsReceivables otherReceivables inventory prepaids otherCurrentAssets totalCurrentAssets
  propertyPlantEquipmentNet goodwill intangibleAssets goodwillAndIntangibleAssets
  longTermInvestments taxAssets otherNonCurrentAssets totalNonCurrentAssets otherAssets totalAssets
  totalPayables accountPayables otherPayables accruedExpenses shortTermDebt
  capitalLeaseObligationsCurrent taxPayables deferredRevenue otherCurrentLiabilities
  totalCurrentLiabilities longTermDebt deferredRevenueNonCurrent deferredTaxLiabilitiesNonCurrent
  otherNonCurrentLiabilities totalNonCurrentLiabilities otherLiabilities capitalLeaseObligations
  totalLiabilities treasuryStock preferredStock commonStock retainedEarnings
  additionalPaidInCapital accumulatedOtherComprehensiveIncomeLoss otherTotalStockholdersEquity
  totalStockholdersEquity totalEquity minorityInterest totalLiabilitiesAndTotalEquity
  totalInvestments totalDebt netDebt`;

const CASH_FLOW_LINES = `
  netIncome depreciationAndAmortization deferredIncomeTax stockBasedCompensation
  changeInWorkingCapital accountsReceivables inventory accountsPayables otherWorkingCapital
  otherNonCashItems netCashProvidedByOperatingActivities investmentsInPropertyPlantAndEquipment
  acquisitionsNet purchasesOfInvestments salesMaturitiesOfInvestments otherInvestingActivities
  netCashProvidedByInvestingActivities netDebtIssuance longTermNetDebtIssuance
  shortTermNetDebtIssuance netStockIssuance netCommonStockIssuance commonStockIssuance
  commonStockRepurchased netPreferredStockIssuance netDividendsPaid commonDividendsPaid
  preferredDividendsPaid otherFinancingActivities netCashProvidedByFinancingActivities
  effectOfForexChangesOnCash netChangeInCash cashAtEndOfPeriod cashAtBeginningOfPeriod
  operatingCashFlow capitalExpenditure freeCashFlow incomeTaxesPaid interestPaid`;

/** Keys that all three statements share. Checked, not converted: the payload is stored as sent. */
const header = {
  date: requiredDate(),
  symbol: requiredText(),
  reportedCurrency: textAsSent(),
  cik: textAsSent(),
  filingDate: z.union([z.literal(""), z.null(), requiredDate()], {
    error: "a date like 2024-11-01, empty text or null",
  }),
  acceptedDate: z.union([z.literal(""), z.null(), z.string().refine(isDateTime)], {
    error: "a time like 2024-11-01 06:01:36, empty text or null",
  }),
  fiscalYear: z.union([z.string(), z.int(), z.null()], { error: "text, a whole number or null" }),
  period: fiscalPeriod(),
};

/** One statement as the vendor sends it; keys beyond the documented ones are kept. */
export type Statement = z.infer<typeof statementHeader> & Record<string, unknown>;

const statementHeader = z.looseObject(header);

/** `income-statement` answers. */
export const incomeStatements = statements(INCOME_LINES);
/** `balance-sheet-statement` answers. */
export const balanceSheets = statements(BALANCE_SHEET_LINES);
/** `cash-flow-statement` answers. */
export const cashFlows = statements(CASH_FLOW_LINES);

function statements(lines: string): z.ZodType<Statement[]> {
  const shape = Object.fromEntries(
    lines.trim().split(/\s+/).map((line) => [line, optionalNumber()]),
  );
  return rowsOf(z.looseObject({ ...header, ...shape }, { error: "an object" }));
}
